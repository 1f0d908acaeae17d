"""How fast are Stable Diffusion 2.1 and SDXL through imagenetd, against plain diffusers?"""
