def balance(spark):
    return spark.range(5).groupBy().sum("id").collect()[0][0]
