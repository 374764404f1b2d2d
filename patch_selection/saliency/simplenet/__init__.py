"""SimpleNet: a U-Net that predicts where people look."""
