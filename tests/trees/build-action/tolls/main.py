from pyspark.sql import SparkSession

if __name__ == "__main__":
    print("RESULT build-action", SparkSession.builder.getOrCreate().range(2).count())
