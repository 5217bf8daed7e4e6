"""What the API document says of claims: paths."""

from __future__ import annotations

from presence_server.transports.rest import claim_schemas
from presence_server.transports.rest.operation import operation_of
from presence_server.transports.rest.schemas import Schema, ref
from presence_server.transports.rest.words import Words


def claims_paths(most_batch: int) -> Schema:
    one, by_source = "/claims/{userId}", "/claims/{userId}/{source}"
    stack = ref("Claims")
    return {
        "/claims/batch": {
            "post": operation_of(
                "/claims/batch",
                "claimForMany",
                Words("Replace one source's claims of many users", "批量替换一个来源的声明"),
                Words("The same claims for each of them.", "每个用户的声明相同。"),
                claim_schemas.CLAIMED,
                body=claim_schemas.claims_batch_body(most_batch),
            )
        },
        one: {
            "get": operation_of(
                one,
                "claims",
                Words("What is claimed of a user", "查询用户的声明"),
                Words(
                    "In the order of who wins; and what wins now and next.", "按优先顺序；以及现在和接下来生效的声明。"
                ),
                stack,
            )
        },
        by_source: {
            "put": operation_of(
                by_source,
                "setClaims",
                Words("Replace a source's claims", "替换一个来源的声明"),
                Words("All claims of that source at once.", "一次替换该来源的全部声明。"),
                stack,
                body=claim_schemas.CLAIMS_BODY,
            ),
            "patch": operation_of(
                by_source,
                "changeClaim",
                Words("Add or change one claim", "添加或修改一个声明"),
                Words("What is left out stays as it is, null clears it.", "省略的字段保持不变，null 表示清除。"),
                stack,
                body=claim_schemas.CLAIM_PATCH,
            ),
            "delete": operation_of(
                by_source,
                "endClaims",
                Words("End a source's claims", "结束一个来源的声明"),
                Words("All of them, or with `?id=` one.", "全部结束；指定 `?id=` 时结束一个。"),
                stack,
            ),
        },
    }
