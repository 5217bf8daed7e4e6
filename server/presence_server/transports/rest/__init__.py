"""REST: what may be asked, by whom, in which bodies, and how it is answered."""
