from pyspark.sql import SparkSession

from common.session import named

if __name__ == "__main__":
    spark = named(SparkSession.builder, "stock").getOrCreate()
    print("RESULT airflow", spark.range(3).count())
