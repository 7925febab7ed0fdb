"""Model cards: as JSON for programs, as Markdown to give away with the file."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import Field

from services.common.i18n import Translator, choose_language
from services.gateway.card import card_markdown
from services.gateway.context import Context, Here
from services.gateway.rest.evaluations import EvaluationPublic
from services.gateway.rest.jobs import TrainingParameters
from services.gateway.rest.models import ModelPublic
from services.gateway.rest.shapes import Id, Many, Public, Responses, Time
from services.gateway.upstream import ask
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["models"])

MARKDOWN: Responses = {200: {"content": {"text/markdown": {}}, "description": "The card"}}


class Ancestor(Public):
    """A generation of the model."""

    model_id: str
    name: str
    version_id: str
    weights: str = Field(description="what its training started from")
    created_at: Time


class ModelCard(Public):
    """Where a model comes from and how good it is."""

    model: ModelPublic
    parameters: TrainingParameters
    code_version: str = Field(description="of the trainer: a git commit or the package's version")
    lineage: Many[Ancestor] = Field(description="the model first, then what it was trained on from, and so on")
    version_number: int = Field(description="of the data set version; 0 = it is gone")
    train_count: int
    validation_count: int
    version_sha256: str
    evaluations: Many[EvaluationPublic] = Field(description="that are done, newest first, with short figures")


@router.get("/models/{model_id}/card", summary="The model's card")
async def get_card(model_id: Id, context: Here) -> ModelCard:
    return ModelCard.of(await _card(context, model_id))


@router.get(
    "/models/{model_id}/card.md", summary="The model's card as Markdown", responses=MARKDOWN, response_class=Response
)
async def get_card_markdown(model_id: Id, request: Request, context: Here) -> Response:
    card = await _card(context, model_id)
    cookie, accepted = request.cookies.get("boardloop_language"), request.headers.get("accept-language", "")
    text = card_markdown(card, Translator(choose_language(cookie, accepted)))
    headers = {"Content-Disposition": f'attachment; filename="model-{card.model.id}.md"'}
    return Response(text, media_type="text/markdown; charset=utf-8", headers=headers)


async def _card(context: Context, model_id: str) -> pb.ModelCard:
    return (await ask(context.upstream.models.GetModelCard(pb.GetModelCardRequest(model_id=model_id)))).card
