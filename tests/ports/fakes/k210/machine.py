"""machine: a UART with an ESP8285's AT firmware behind it, the watchdog, the chip's number."""

state = {"resets": 0, "fed": 0, "silent": 0}
uarts = []


class UART:
    UART1, UART2 = 1, 2

    def __init__(self, number, baud, timeout=0, read_buf_len=0):
        self.baud = baud
        self.number, self.buffer = number, read_buf_len
        self.answer = b"\r\nready\r\n"
        self.commands = []
        uarts.append(self)

    def write(self, command):
        self.commands.append(command)
        if state["silent"]:
            state["silent"] -= 1
        else:
            self.answer = command + b"\r\nOK\r\n"

    def read(self):
        answer, self.answer = self.answer, b""
        return answer or None


class WDT:
    def __init__(self, id, timeout):
        assert id in (0, 1) and timeout > 0
        self.timeout = timeout

    def feed(self):
        state["fed"] += 1


def unique_id():
    return bytearray(range(32))


def reset():
    state["resets"] += 1
