"""Files of the page: images in, annotations in and out, and what a session keeps."""
