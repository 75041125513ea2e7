"""The nightly run."""
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

# image: registry.example:5000/team/jobs:unbuilt
IMAGE = "registry.example:5000/team/job:unbuilt"  # sparkpack: job
TAG = 'unbuilt'  # sparkpack: side tag
run = KubernetesPodOperator(
    task_id="run",
    image="registry.example:5000/team/job:1",  # sparkpack: job
    arguments=["{{ ds }}", f"{IMAGE}"],
)
OLD = "registry.example:5000/team/job:unbuilt"  # sparkpack: ignore
