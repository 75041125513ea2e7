from pyspark.sql import SparkSession

from helpers import REGIONS

spark = SparkSession.builder.appName("sales").getOrCreate()
print("RESULT environments", spark.createDataFrame([(region,) for region in REGIONS]).count())
