"""Certificates that nobody has signed, for servers of the lab."""

import subprocess


def make_certificate(folder, name="mx.example", prefix=""):
    """A self-signed certificate and its key; returns both paths."""
    certificate, key = folder / f"{prefix}cert.pem", folder / f"{prefix}key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "30", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key,
         "-out", certificate], check=True, capture_output=True)
    return certificate, key
