from jobs.balance import balance

from pyspark.sql import SparkSession

if __name__ == "__main__":
    print("RESULT other-contexts", balance(SparkSession.builder.getOrCreate()))
