from airflow import DAG
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

with DAG("nightly") as dag:
    KubernetesPodOperator(task_id="stock", pod_template_file="/opt/airflow/pod_templates/stock.yaml")
