"""Label maps as others take them: PNG with a palette, drawn over the image, COCO's objects, a video."""
