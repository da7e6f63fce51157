"""Reports: from the result files of runs to tables, curves and pictures, as Markdown and as one HTML file."""
