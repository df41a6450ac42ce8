import signal

# A shell that starts the tests in the background has interrupts ignored, which all child processes inherit;
# the tests of Ctrl-C need them as they are at a terminal.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
