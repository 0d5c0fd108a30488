"""What ``lume-services demo`` runs: a real storage ring, scanned, recorded and plotted."""
