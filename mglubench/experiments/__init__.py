"""Small language models trained with each kind of layer, to learn what masks do; above the layer and the tables."""
