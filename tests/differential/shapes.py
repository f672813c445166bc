"""Sessions that are not left to chance: every short sequence of what matters, and every odd spelling."""

import itertools

from tests.differential import grammar

ENVELOPE = [b"EHLO c.example\r\n", b"MAIL FROM:<a@c.example>\r\n", b"RCPT TO:<first@mx.example>\r\n"]
# What may follow an envelope; %d makes each recipient one of its own.
PIECES = (b"MAIL FROM:<b@c.example>\r\n", b"RCPT TO:<r%d@mx.example>\r\n", b"DATA\r\n", b"text\r\n.\r\n", b"\n.\n", b"\r.\r\n",
          b"BDAT 6\r\nchunk\n", b"BDAT 6 LAST\r\nRSET\r\n", b"RSET\r\n")
MORE = (b"EHLO again.example\r\n", b"XFOO\r\n", b"HELO again.example\r\n", b"NOOP\r\n", b"BDAT 0 LAST\r\n", b"\r\n", b"\r\n.\r\n", b"QUIT\r\n")


def sequences(length, pieces=PIECES):
    """Every sequence of so many pieces behind an envelope; then what ends it in most states."""
    for chosen in itertools.product(pieces, repeat=length):
        yield ENVELOPE + [piece.replace(b"%d", b"%d" % at) for at, piece in enumerate(chosen)] + [b"QUIT\r\n"]


def short_sequences():
    """Some 1,300: all of one, two and three pieces; of one and two with the rarer pieces, too, and without a MAIL."""
    for length in (1, 2):
        for pieces in sequences(length, PIECES + MORE):
            yield pieces
            yield pieces[:1] + pieces[3:]
    yield from sequences(3)


# What a client may say before the chunk whose octets are commands; and between the two.
OPENINGS = ([], ENVELOPE[1:2], ENVELOPE[1:], [*ENVELOPE[1:], b"BDAT 4\r\nabc\n"], [*ENVELOPE[1:], b"BDAT 5 LAST\r\nabc\r\n"],
            [b"BDAT 4\r\nabc\n", *ENVELOPE[1:]], [*ENVELOPE[1:], b"BDAT 0\r\n"],
            [*ENVELOPE[1:], b"BDAT 4\r\nabc\n", b"BDAT 0\r\n"],
            [ENVELOPE[1], b"RCPT TO:<refused@mx.example>\r\n"], [*ENVELOPE[1:], b"BDAT 4\r\nabc\n", b"BDAT 4\r\nabc\n"])
BETWEEN = ("", "VRFY x", "NOOP", "NOOP x", "MAIL FROM:<q@c.example>", "RCPT TO:<q@mx.example>", "DATA", "XFOO", "HELP", "EXPN x",
           "HELO z.example", "EHLO z.example", "ETRN x", "AUTH PLAIN AGEAYg==", "RSET", "RSET x", "BURL imap://x", "SEND FROM:<x@c.example>",
           "X" * 600, "NOOP\0", "rset", " RSET", "QUIT x", "STARTTLS", "BDAT x", "BDAT 0")
EXECUTED = b"RSET\r\n.\r\nMAIL FROM:<s@c.example>\r\nRCPT TO:<s@mx.example>\r\nBDAT 6 LAST\r\ntext\r\n"


def chunk_states():
    """A chunk of commands, in every state in which a server may refuse the BDAT and leave its octets; and lines for
    the replies that nobody has awaited."""
    for opening in OPENINGS:
        for line in (None, *BETWEEN):
            said = [] if line is None else [line.encode("latin-1") + b"\r\n"]
            yield [ENVELOPE[0], *opening, *said, b"BDAT %d LAST\r\n%s" % (len(EXECUTED), EXECUTED), b"NOOP\r\n" * 12, b"QUIT\r\n"]


def late_answers():
    """PRDR: asked for or not, by DATA and BDAT, with recipients that are refused at once, late or not at all."""
    names = (["first"], ["first", "second"], ["late1", "first"], ["late1", "late2"], ["refused1", "first", "late1", "last"], ["refused1"])
    ends = ([b"DATA\r\n", b"Subject: x\r\n\r\ntext\r\n.\r\n"], [b"BDAT 6\r\nchunk\n", b"BDAT 6 LAST\r\nRSET\r\n"])
    for parameter in (b"", b" PRDR", b" prdr SIZE=100"):
        for some in names:
            for end in ends:
                mail = [b"MAIL FROM:<a@c.example>" + parameter + b"\r\n",
                        *(b"RCPT TO:<%s@mx.example>\r\n" % name.encode() for name in some), *end]
                yield [ENVELOPE[0], *mail, *mail, b"NOOP\r\n", b"QUIT\r\n"]


BLANKS = (" ", "  ", "\t", " \t", "\t ", "\x0b", "\x0c", "\0", "\xa0", "")
ADDRESSES = ("<{0}@mx.example>", "{0}@mx.example", "<{0}@mx.example", "{0}@mx.example>", "<<{0}@mx.example>>", "<>", "",
             "<{0}>", "<@a.example:{0}@mx.example>", "<@a.example,@b.example:{0}@mx.example>", "<@:{0}@mx.example>",
             "<\"{0}\"@mx.example>", "<\"{0} x\"@mx.example>", "<\"{0}\\\"x\"@mx.example>", "<\"{0}@mx.example>",
             "<{0}\\@x@mx.example>", "<{0}(comment)@mx.example>", "(comment)<{0}@mx.example>", "<{0}@mx.example>(comment)",
             "{0} <{0}@mx.example>", "\"{0}\" <{0}@mx.example>", "< {0}@mx.example >", "<{0} @mx.example>", "<{0}@ mx.example>",
             "<{0}@[192.0.2.1]>", "<{0}@[IPv6:2001:db8::1]>", "<{0}@mx.example.>", "<{0}@mx..example>", "<.{0}@mx.example>",
             "<{0}@mx_x.example>", "<{0}@>", "<@mx.example>", "<{0}%x@mx.example>", "<x!{0}@mx.example>", "<{0}@mx.example,x@mx.example>",
             "<{0}@mx.example> <x@mx.example>", "<\xe4{0}@mx.example>", "<{0}@m\xc3\xa4x.example>", "<{0}\0@mx.example>",
             "<{0}@mx.example>\0", "<{0}\x01@mx.example>", "<{0}\t@mx.example>", "<{0}\x7f@mx.example>", "<" + "l" * 65 + "{0}@mx.example>",
             "<{0}@" + "d" * 64 + ".example>", "<{0}@" + "d." * 130 + "example>", "<{0}@mx.example>" + " " * 600,
             "<{0}@mx.example>;x", "<{0}@mx.example>,", ":<{0}@mx.example>", "=<{0}@mx.example>")
PARAMETERS = ("SIZE=100", "size=100", "SIZE=", "SIZE", "SIZE=-1", "SIZE=99999999999999999999", "SIZE=1 SIZE=2", "BODY=7BIT", "BODY=8BITMIME",
              "BODY=BINARYMIME", "BODY=FOO", "SMTPUTF8", "SMTPUTF8=1", "RET=HDRS", "ENVID=x", "AUTH=<>", "AUTH=a@c.example", "FOO=BAR",
              "FOO", "=", "=x", "SIZE=100\t", "\tSIZE=100", "NOTIFY=NEVER", "NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;x@c.example",
              "X" * 500, "SIZE=100\0", "\0", "\xe4=\xe4", "TRANSID=<x@c.example>", "BY=1;R", "MT-PRIORITY=3", "HOLDFOR=1")
WORDS = (("MAIL FROM", "mail from", "Mail From", "mAIL fROM", "MAIL  FROM", "MAILFROM", "MAIL-FROM", "MAIL", "FROM", "MAIL TO",
          "SEND FROM", "SOML FROM", "SAML FROM", "XMAIL FROM", "MAIL FROM FROM", "\xefMAIL FROM", "MAILX FROM", "MAI FROM"),
         ("RCPT TO", "rcpt to", "Rcpt To", "rCPT tO", "RCPT  TO", "RCPTTO", "RCPT-TO", "RCPT", "TO", "RCPT FROM", "XRCPT TO",
          "RCPT TO TO", "\xefRCPT TO", "RCPTX TO", "RCP TO"))


def lines(words, name):
    """Every odd spelling of MAIL or RCPT."""
    verb, word = words[0].split()
    for spelt in words:
        yield f"{spelt}:<{name}@mx.example>"
    for blank in BLANKS:
        yield f"{verb}{blank}{word}:<{name}@mx.example>"
        yield f"{blank}{verb} {word}:<{name}@mx.example>"
        yield f"{verb} {word}{blank}:<{name}@mx.example>"
        yield f"{verb} {word}:{blank}<{name}@mx.example>"
        yield f"{verb} {word}:<{name}@mx.example>{blank}"
    for address in ADDRESSES:
        yield f"{verb} {word}:{address.format(name)}"
    for parameter in PARAMETERS:
        yield f"{verb} {word}:<{name}@mx.example> {parameter}"


def oddities():
    """Some 300 sessions, each with one odd spelling, alone or where the plain one has been before."""
    mail, rcpt, data = b"MAIL FROM:<a@c.example>\r\n", b"RCPT TO:<plain@mx.example>\r\n", [b"DATA\r\n", b"\r\ntext\r\n.\r\n"]
    start, end = [b"EHLO c.example\r\n"], [b"QUIT\r\n"]
    for line in lines(WORDS[0], "a"):
        yield start + [line.encode("latin-1") + b"\r\n", rcpt, *data] + end
    for line in lines(WORDS[1], "odd"):
        yield start + [mail, line.encode("latin-1") + b"\r\n", *data] + end


def handshakes():
    """Every way to say STARTTLS, with a message behind it: TLS begun or not, after a MAIL, and within TLS."""
    hello, mail, end = ENVELOPE[:1], [*ENVELOPE[1:], b"DATA\r\n", b"Subject: x\r\n\r\ntext\r\n.\r\n"], [b"QUIT\r\n"]
    plain = [b"STARTTLS\r\n", grammar.TLS]
    for said in grammar.STARTTLS:
        yield hello + [*said] + hello + mail + end
        yield hello + ENVELOPE[1:] + [*said] + hello + mail + end
    yield hello + mail + plain + hello + mail + mail + end
    yield hello + plain + hello + plain + hello + mail + end
    yield hello + plain + plain + mail + end
