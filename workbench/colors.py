"""The colours of all pictures: Okabe and Ito's palette, told apart by all kinds of colour vision."""

BLUE, VERMILION, GREEN, SKY, ORANGE = "#0072B2", "#D55E00", "#009E73", "#56B4E9", "#E69F00"
