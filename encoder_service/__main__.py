"""`python -m encoder_service`."""

from encoder_service.main import program

if __name__ == "__main__":
    program()
