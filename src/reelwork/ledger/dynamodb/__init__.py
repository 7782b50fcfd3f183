"""The ledger on DynamoDB, through boto3 (`pip install 'reelwork[aws]'`)."""
