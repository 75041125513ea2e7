def start_spark(name):
    from pyspark.sql import SparkSession

    return SparkSession.builder.appName(name).getOrCreate()
