"""Do the gate and real servers read the same? See harness.py; run by make differential."""
