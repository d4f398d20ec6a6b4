"""Colours of every picture: Okabe and Ito's, told apart by colour-blind eyes; lines differ in dashes as well."""

BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
ORANGE, SKY, PURPLE = "#E69F00", "#56B4E9", "#CC79A7"
