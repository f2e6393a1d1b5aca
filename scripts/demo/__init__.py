"""What `make_demo.py` is made of: the invented town of Wrenford, its phrases, and one file for each corpus."""
