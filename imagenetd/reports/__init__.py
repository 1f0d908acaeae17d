"""What a run says about itself: tables, plots and loggers."""
