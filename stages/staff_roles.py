"""The roles of people who look up, decide and reverse payments: each may call its own routes and nothing else."""

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from environments import Environment
from names import Function, Route, Staff
from stages.api import Api

_LOOK_UPS = tuple(route for route in Function.TRANSACTIONS.routes if route.method == "GET")
_DECISION, _REVERSAL = (route for route in Function.TRANSACTIONS.routes if route.method == "POST")
_ROUTES: dict[Staff, tuple[Route, ...]] = {
    Staff.REVIEWER: (*_LOOK_UPS, _DECISION),
    Staff.OPERATOR: (*_LOOK_UPS, _REVERSAL),
}


class StaffRoles(Construct):
    """``payment-reviewer-<env>`` and ``payment-operator-<env>``. The account says who may assume them.

    Where an approval needs four eyes, a session has the name of its IAM user. Otherwise one person could be two
    reviewers under two names.
    """

    def __init__(self, scope: Construct, id: str, *, environment: Environment, api: Api) -> None:
        super().__init__(scope, id)
        account = iam.AccountPrincipal(Stack.of(self).account)
        own_name = {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}
        trusted = account.with_conditions(own_name) if environment.four_eyes else account
        self.roles: dict[Staff, iam.Role] = {}
        for staff, routes in _ROUTES.items():
            policy = iam.ManagedPolicy(
                self,
                f"{staff.capitalize()}Policy",
                description=f"The routes of a payment {staff}",
                statements=[
                    iam.PolicyStatement(
                        actions=["execute-api:Invoke"],
                        resources=[
                            api.api.arn_for_execute_api(route.method, route.pattern, environment.name)
                            for route in routes
                        ],
                    )
                ],
            )
            self.roles[staff] = iam.Role(
                self,
                staff.capitalize(),
                role_name=staff.of(environment.name),
                description=f"People who are payment {staff}s",
                assumed_by=trusted,
                managed_policies=[policy],
            )
