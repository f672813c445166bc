"""Prints the mails that customers of `make demo KEEP=1` got, as their programs would show them."""

import email
import email.policy
import sys
from pathlib import Path

for path in sorted(Path(sys.argv[1]).rglob("new/*")):
    if path.is_file():
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        print(f"To: {mail['To']}\nSubject: {mail['Subject']}\n\n{mail.get_content()}\n")
