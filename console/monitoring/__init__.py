"""The platform as CloudWatch sees it: the dashboard that the stack deploys, and its alarms."""
