"""fm.register: the real one only prints when a function moves to another pin, and the key reads the WiFi's."""


class Functions:
    UART1_TX, UART1_RX = "UART1_TX", "UART1_RX"
    UART2_TX, UART2_RX, SPI1_D0, SPI1_D1, SPI1_SCLK = "UART2_TX", "UART2_RX", "SPI1_D0", "SPI1_D1", "SPI1_SCLK"


for number in range(32):
    setattr(Functions, f"GPIOHS{number}", f"GPIOHS{number}")


class fm:
    fpioa = Functions
    pins = {}  # noqa: RUF012  function -> pin

    @staticmethod
    def register(pin, function, force=True):
        assert fm.pins.get(function, pin) == pin, f"{function} taken from pin {fm.pins[function]} for {pin}"
        fm.pins[function] = pin
