"""What learns: networks, one loop, classifiers, figures. Pure: arrays in, arrays out."""
