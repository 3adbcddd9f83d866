"""What all figures share: the record, the results on disk, the pictures, the command line."""
