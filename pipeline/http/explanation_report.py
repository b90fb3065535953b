"""The explanation of a request, a connection or a packet, for programs."""

from __future__ import annotations

from pipeline.balancer.access import target_group_name
from pipeline.balancer.balancer_reader import BalancerReader
from pipeline.balancer.explanation import Explanation, Question, explain
from pipeline.balancer.flow_explanation import FlowExplanation, explain_flow
from pipeline.balancer.packet_explanation import PacketExplanation, explain_packet
from pipeline.balancer.packet_question import PacketQuestion
from pipeline.balancer.rule_text import format_action, shares
from pipeline.http.responses.balancer import TargetResponse
from pipeline.http.responses.explanation import (
    ChosenGroupResponse,
    EndpointNameResponse,
    ExplanationResponse,
    FlowExplanationResponse,
    FlowNodeResponse,
    FlowTargetResponse,
    MissResponse,
    OwnedNameResponse,
    PacketExplanationResponse,
    PacketTargetResponse,
    RequestExplanationResponse,
)

AnyExplanation = Explanation | FlowExplanation | PacketExplanation


def answer(balancer: BalancerReader, question: Question, max_cost: float | None = None) -> AnyExplanation:
    """Return what happens to a request, a connection to a network load balancer, or a packet. See `explain`."""
    if question.endpoint:
        return explain_packet(balancer, question.endpoint, PacketQuestion.parse(question.url, question.source))
    if question.is_flow:
        split = question.split
        return explain_flow(balancer, split.scheme, split.hostname or "", question.port)
    return explain(balancer, question, max_cost)


def explanation_response(found: AnyExplanation) -> ExplanationResponse:
    """Return an explanation for programs."""
    if isinstance(found, PacketExplanation):
        return ExplanationResponse(_packet(found))
    response = _flow(found) if isinstance(found, FlowExplanation) else _request(found)
    return ExplanationResponse(response)


def _packet(found: PacketExplanation) -> PacketExplanationResponse:
    question, endpoint = found.question, found.endpoint.endpoint
    return PacketExplanationResponse(
        endpoint=EndpointNameResponse(name=endpoint.name, owner=endpoint.owner, id=endpoint.endpoint_id),
        load_balancer=OwnedNameResponse(name=found.listener.name, owner=found.listener.owner),
        target_group=target_group_name(found.listener.owner, found.listener.group),
        protocol=question.scheme,
        source=str(question.source),
        source_port=question.source_port,
        destination=str(question.target),
        destination_port=question.target_port,
        fields=found.fields,
        fails_open=found.fails_open,
        targets=[
            PacketTargetResponse(
                target=TargetResponse.model_validate(one.target),
                state=one.state,
                eligible=one in found.eligible,
                chosen=one is found.chosen,
            )
            for one in found.targets
        ],
        reason=found.reason,
    )


def _request(found: Explanation) -> RequestExplanationResponse:
    return RequestExplanationResponse(
        port=found.shared.port,
        load_balancer=OwnedNameResponse(name=found.shared.name, owner=found.shared.owner),
        misses=[
            MissResponse(priority=miss.rule.priority, owner=found.owners[miss.rule.priority], reason=miss.reason)
            for miss in found.misses
        ],
        priority=found.priority or "default",
        owner=found.owner,
        action=found.action.model_dump(mode="json", exclude_none=True),
        effect=format_action(found.owner, found.action),
        target_groups=[
            ChosenGroupResponse(target_group=name, share=share) for name, share in shares(found.owner, found.action)
        ],
        held=list(found.held),
    )


def _flow(found: FlowExplanation) -> FlowExplanationResponse:
    return FlowExplanationResponse(
        port=found.listener.port,
        protocol=found.listener.listener.protocol,
        load_balancer=OwnedNameResponse(name=found.listener.name, owner=found.listener.owner),
        plane=found.choice.plane.lower(),
        nodes=[FlowNodeResponse(zone=zone, targets=_targets(found, zone)) for zone in found.zones],
    )


def _targets(found: FlowExplanation, zone: str | None) -> list[FlowTargetResponse]:
    return [
        FlowTargetResponse(
            target_group=share.group,
            weight=round(share.weight, 4),
            sticky=share.group in found.sticky,
            fails_open=share.fails_open,
            target=TargetResponse.model_validate(share.health.target),
            state=share.health.state,
            share=round(share.share, 4),
        )
        for share in found.shares
        if share.zone == zone
    ]
