"""One public function for each stage; all reading and writing of results is here. A stage never imports another."""
