"""`pipeline doctor`: what this machine, its hosts and a pipeline lack. A file for each subject. Changes nothing."""
