"""GPIO, the same in both firmwares: a pin by its GPIOHS, its level set by the test."""


class GPIO:
    IN, OUT, PULL_UP, IRQ_FALLING, WAKEUP_NOT_SUPPORT = 0, 1, 2, 3, 0
    made = {}  # noqa: RUF012

    def __init__(self, function, mode, pull=None):
        self.level = 1
        self.edge = None
        GPIO.made[function] = self

    def value(self, level=None):
        if level is None:
            return self.level
        self.level = level

    def irq(self, call, trigger, wakeup, priority):
        self.edge = call

    def press(self):
        self.level = 0
        self.edge(self)


for number in range(32):
    setattr(GPIO, f"GPIOHS{number}", f"GPIOHS{number}")
