"""Who may take the tasks: Amazon's own records of a worker, and our qualification that shuts out."""

from imagenetd.qc.annotate.turk.campaign import Campaign

PERCENT_APPROVED, NUM_APPROVED, LOCALE = (
    "000000000000000000L0",
    "00000000000000000040",
    "00000000000000000071",
)
"""Amazon's own qualification types."""


def make_qualification(campaign: Campaign) -> str:
    """Return the id of our qualification for workers who failed a sentinel; made once."""
    name = f"imagenetd {campaign.room.signer.name('turk qualification', campaign.service.name)[:12]}"
    owned = {"MustBeRequestable": False, "MustBeOwnedByCaller": True, "Query": name}
    for found in campaign.service.listed("list_qualification_types", "QualificationTypes", **owned):
        if found["Name"] == name:
            return found["QualificationTypeId"]
    made = campaign.service.call(
        "create_qualification_type",
        Name=name,
        Description="Given to workers whose answers to control pictures were not right.",
        QualificationTypeStatus="Active",
    )
    return made["QualificationType"]["QualificationTypeId"]


def requirements(campaign: Campaign) -> list[dict[str, object]]:
    """Return who may take the tasks."""
    options, asked = campaign.options, []
    if campaign.service.is_production:  # in the sandbox nobody has a record
        for kind, least in (
            (PERCENT_APPROVED, options.min_approved_percent),
            (NUM_APPROVED, options.min_approved_tasks),
        ):
            if least is not None:
                asked.append(_requirement(kind, "GreaterThanOrEqualTo", IntegerValues=[least]))
    if options.countries:
        places = [{"Country": code} for code in options.countries]
        asked.append(_requirement(LOCALE, "In", LocaleValues=places))
    if campaign.state.qualification is not None:
        asked.append(_requirement(campaign.state.qualification, "DoesNotExist"))
    return asked


def _requirement(kind: str, comparator: str, **values: object) -> dict[str, object]:
    guard = {"ActionsGuarded": "DiscoverPreviewAndAccept"}
    return {"QualificationTypeId": kind, "Comparator": comparator, **guard, **values}
