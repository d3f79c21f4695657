"""What there is: the data sets, as arrays in memory and as TFDS builders."""
