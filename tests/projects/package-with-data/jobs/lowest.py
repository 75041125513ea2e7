from jobs.common import run

if __name__ == "__main__":
    run("lowest")
