"""board_info as it is without /flash/config.json: BOOT_KEY and nothing else."""


class board_info:
    BOOT_KEY = 16
