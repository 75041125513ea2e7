"""What spark-submit runs; the package itself is imported by its name, on the driver and on the executors."""

from @package@.cli import main

if __name__ == "__main__":
    main()
