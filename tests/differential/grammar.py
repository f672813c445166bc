"""Sessions to send: grammatical ones, mutated where servers are known to differ.

A session is a list of pieces (bytes), each one command, message or chunk, or TLS where the client
begins it; a seed and a number give the same session everywhere.
"""

import random


class Handshake(bytes):
    """No bytes of its own."""


TLS = Handshake()
MAIL = ("MAIL FROM:<a@c.example>", "mail from:<a@c.example>", "MAIL FROM:<>", "MAIL  FROM:<a@c.example>",
        "MAIL FROM :<a@c.example>", "MAIL FROM: <a@c.example>", "MAIL\tFROM:<a@c.example>", " MAIL FROM:<a@c.example>",
        "MAIL FROM:a@c.example", "MAIL FROM:<@r.example:a@c.example>", "MAIL FROM:<a@c.example> SIZE=100",
        "MAIL FROM:<a@c.example> BODY=8BITMIME", "MAIL FROM:<a@c.example> ", "MAIL:FROM:<a@c.example>",
        "MAIL FROM:<a@c.example> PRDR", "mail from:<a@c.example> SIZE=100 prdr", "MAIL FROM:<\"a PRDR b\"@c.example>",
        "SOML FROM:<a@c.example>", "MAIL FROM:<a@c.example> X\0Y", "MAIL\0FROM:<a@c.example>", "MAILFROM:<a@c.example>")
RCPT = ("RCPT TO:<{0}@mx.example>", "rcpt to:<{0}@mx.example>", "RCPT  TO:<{0}@mx.example>", "rcpt  to :<{0}@mx.example>",
        "RCPT TO: <{0}@mx.example>", "RCPT\tTO:<{0}@mx.example>", "RCPT TO:{0}@mx.example", "  RCPT TO:<{0}@mx.example>",
        "RCPT TO:<@r.example,@s.example:{0}@mx.example>", "RCPT TO:<{0}@mx.example>\t", "RCPT TO:<refused{0}@mx.example>",
        "RCPT TO:<late{0}@mx.example>",
        "RCPT TO:<{0}@mx.example", "RCPT TO:<{0}>", "RCPT TO:<\"{0}\"@mx.example>", "RCPT TO:<\xff{0}@mx.example>",
        "RCPT\x0bTO:<{0}@mx.example>", "RCPT TO:", "RCPT TO:<{0}@mx.example> NOTIFY=NEVER")
OTHER = ("RSET", "rset", "NOOP", "NOOP x", "VRFY a", "HELP", "EXPN a", "XFOO", "XFOO bar", "EHLO again.example",
         "HELO again.example", "DATA", "DATA x", "RSET x", "BDAT", "BDAT x", "", " ", "STARTTLSX", "NOOP \xff\x80", "NOOP \0",
         "TURN", "ETRN x", "BDAT 5", "BDAT 0", "BDAT 0 LAST", "MAIL", "RCPT", "X" * 600, "NOOP " + "x" * 3000,
         "AUTH PLAIN AGEAYg==", "AUTH", "AUTH FOO", "AUTH PLAIN *", "XCLIENT NAME=x.example", "XFORWARD NAME=x.example",
         "STARTTLS x", "MAIL FROM:<b@c.example> AUTH=<>", "QUIT x")
# Commands that are followed by lines which are none.
LOGIN = (("AUTH LOGIN", "YQ==", "Yg=="), ("AUTH LOGIN", "*"), ("AUTH PLAIN", "AGEAYg=="), ("AUTH LOGIN YQ==", "Yg=="),
         ("AUTH PLAIN", "MAIL FROM:<l@c.example>"), ("auth  login", "YQ==", "Yg=="), ("AUTH LOGIN", "YQ==", "QUIT"))
# The place of STARTTLS, and what a client may do there.
STARTTLS = ((b"STARTTLS\r\n", TLS), (b"STARTTLS\r\n", TLS), (b"STARTTLS\r\n", TLS), (b"starttls\r\n", TLS), (b"STARTTLS \r\n", TLS),
            (b"STARTTLS\n", TLS), (b"STARTTLS x\r\n", TLS), (b"STARTTLS\r\n",), (b"STARTTLS\r\n", b"STARTTLS\r\n", TLS),
            (b"STARTTLS\r\nSTARTTLS\r\n", TLS), (b"STARTTLS\r\nRSET\r\n", TLS), (b"STARTTLS\r\n\r\n", TLS),
            (b"STARTTLS\r\nMAIL FROM:<i@c.example>\r\nRCPT TO:<i@mx.example>\r\nDATA\r\n\r\n.\r\n", TLS),
            (b"NOOP\r\nSTARTTLS\r\n", TLS), (b"STARTTLS\0\r\n", TLS), (b"START", b"TLS\r\n", TLS), (b"STARTTLS\r", b"\n", TLS))
ENDS = ("\r\n", "\n", "\r", "\r\r\n", "\n\r", "\r\n\r", "\0\r\n", " \r\n")
WORDS = ("text", "a longer line of text", "", ".dot", "..", "...", "From here", "8bit \xe4\xff", "nul \0 inside", ". ", ".\t",
         "x" * 1200, "bare\rcr", "\r", "lf\nhere", "\n.dot", "\n..", "RSET", "QUIT", "MAIL FROM:<t@c.example>")
SIZES = ("0", "1", "00005", "+5", "-1", "5x", "0x5", "2147483648", "4294967296", "4294967301", "9223372036854775808",
         "18446744073709551616", "18446744073709551621")


class Maker:
    """Makes one session's pieces."""

    def __init__(self, seed, number):
        self.random = random.Random(f"{seed}/{number}")
        self.number = number
        self.recipients = 0

    def often(self, usual, others, chance=0.8):
        return usual if self.random.random() < chance else self.random.choice(others)

    def line(self, text):
        return (text + self.often("\r\n", ENDS[:2] * 4 + ENDS, 0.92)).encode("latin-1")

    def mail(self):
        return self.line(self.often(MAIL[0], MAIL, 0.6))

    def rcpt(self):
        self.recipients += 1  # each but once: some servers count distinct ones
        name = f"r{self.recipients}"
        return self.line(self.often(RCPT[0], RCPT, 0.6).format(name))

    def smuggled(self):
        """A line of a dot that somebody may take for the end, and commands behind it."""
        dot = self.random.choice(ENDS) + "." + self.random.choice(ENDS)
        commands = b"".join((self.mail(), self.rcpt(), self.line("DATA")))
        return dot.encode("latin-1") + self.often(commands, (b"", self.mail(), self.line("RSET"), self.line("QUIT")), 0.6)

    def text(self):
        parts = [b"Subject: x\r\n\r\n"]
        for _ in range(self.random.randrange(5)):
            parts.append((self.often("text", WORDS, 0.4) + self.often("\r\n", ENDS, 0.8)).encode("latin-1"))
            if self.random.random() < 0.25:
                parts.append(self.smuggled())
        return b"".join(parts)

    def data(self):
        end = self.often("\r\n.\r\n", tuple(a + "." + b for a in ENDS for b in ENDS), 0.9)
        return [self.line("DATA"), self.text() + end.encode("latin-1")]

    def commands(self):
        """What brings a message where somebody takes a chunk's octets for commands."""
        return b"RSET\r\n.\r\n" + self.mail() + self.rcpt() + b"BDAT 6 LAST\r\ntext\r\n"

    def chunk(self, last):
        content = self.often(self.text(), (b"", self.commands()), 0.6)
        size = self.often(str(len(content)), SIZES + (str(len(content) + 1), str(max(0, len(content) - 1))), 0.9)
        mark = self.often(" LAST", (" last", "  LAST ", " LASTX", ""), 0.9) if last else ""
        return self.line(self.often("BDAT ", ("bdat ", "BDAT  ", "BDAT\t", " BDAT "), 0.9) + size + mark) + content

    def transaction(self):
        pieces = [self.mail()] + [self.rcpt() for _ in range(self.random.randrange(1, 4))]
        if self.random.random() < 0.1:
            pieces.insert(self.random.randrange(len(pieces) + 1), self.line(self.random.choice(OTHER)))
        if self.random.random() < 0.7:
            return pieces + self.data()
        chunks = self.random.randrange(1, 4)
        for number in range(chunks):
            if number > 0 and self.random.random() < 0.3:  # what has no place between chunks
                pieces.append(self.often(self.line(self.random.choice(OTHER)), (self.mail(), self.rcpt()), 0.7))
            pieces.append(self.chunk(last=number == chunks - 1))
        return pieces + [b"NOOP\r\n" * self.random.choice((0, 0, 12))]  # a line for each reply that was not awaited

    def login(self):
        return [self.line(text) for text in self.random.choice(LOGIN)]

    def secured(self):
        """TLS is begun somewhere; what was said before is said again behind it, or not."""
        pieces = [self.line("EHLO c.example")]
        if self.random.random() < 0.3:
            pieces += self.transaction()
            if self.random.random() < 0.5:
                del pieces[self.random.randrange(1, len(pieces)):]
        pieces += self.often(STARTTLS[0], STARTTLS, 0.5)
        if self.random.random() < 0.8:
            pieces.append(self.line("EHLO c.example"))
        for _ in range(self.random.randrange(1, 4)):
            pieces += self.transaction()
        if self.random.random() < 0.05:  # TLS within TLS
            pieces += [b"STARTTLS\r\n", TLS, self.line("EHLO c.example"), *self.transaction()]
        return pieces + [b"QUIT\r\n"]

    def pieces(self):
        if self.random.random() < 0.15:
            return self.secured()
        pieces = [self.line(self.often("EHLO c.example", ("HELO c.example", "ehlo c.example", "EHLO", "NOOP")))]
        for _ in range(self.random.randrange(1, 4)):
            if self.random.random() < 0.75:
                pieces += self.transaction()
            elif self.random.random() < 0.2:
                pieces += self.login()
            else:
                pieces.append(self.line(self.random.choice(OTHER)))
        if self.random.random() < 0.1:  # a piece is lost, doubled or moved
            at = self.random.randrange(len(pieces))
            pieces[at:at + 1] = self.random.choice(([], [pieces[at]] * 2, []))
        return pieces + [b"QUIT\r\n"]


def session(seed, number):
    return Maker(seed, number).pieces()


def splits(seed, number, size):
    """Where the bytes are cut into writes: mostly nowhere, or at a few places."""
    chooser = random.Random(f"{seed}/{number}/splits")
    return sorted(chooser.randrange(1, size) for _ in range(chooser.choice((0, 0, 0, 1, 2, 5)))) if size > 1 else []


def is_stepwise(seed, number, usually):
    """Is it sent piece by piece? Mostly as the server wants it, but no server is spared the other way."""
    return (random.Random(f"{seed}/{number}/steps").random() < 0.8) == usually
