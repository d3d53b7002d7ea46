"""What a real tool is about: domains, by the words of its name and description."""

import re
from collections import Counter
from functools import cache

_WORDS = {
    "security": "threat detect incident alert vulnerab malware firewall quarantin ioc intel "
    "policy sensor exposure secret certificate",
    "identity": "user role permission login logout auth token account password credential sso mfa",
    "messaging": "message sms chat channel conversation whatsapp notif participant mention",
    "voice": "call phone voice recording conference trunk sip transcript ivr speech",
    "mail": "mail inbox mailbox attachment draft smtp",
    "calendar": "calendar event meeting schedule timezone appointment timesheet availability",
    "office": "document word excel worksheet spreadsheet slide powerpoint onenote cell",
    "files": "file folder directory drive upload download path rename",
    "databases": "database sql query table collection index schema mongo postgres redis kafka",
    "cloud": "cluster kubernetes droplet container deploy pod registry image volume snapshot dyno "
    "region server host vpc node",
    "networking": "network domain dns ip vlan cdn subnet peering",
    "development": "repository branch commit merge pull issue pipeline build test code release "
    "job milestone",
    "browser": "browser page click screenshot navigate cookie viewport element dom",
    "commerce": "order listing inventory shipping product cart offer seller buyer marketplace "
    "fulfillment return",
    "finance": "invoice payment payout bank ledger stock price tax currency quote budget billing",
    "crm": "contact customer deal lead campaign company ticket association prospect",
    "marketing": "advert keyword promotion audience traffic seo newsletter brand",
    "knowledge": "knowledge graph entity entities relation memory note observation thought wiki",
    "search": "search web news article paper scrape crawl wikipedia",
    "maps": "map route geocode location travel flight hotel weather city coordinates address",
    "media": "video image audio photo music song movie youtube subtitle",
    "science": "gene protein molecule chemistry biology clinical medical drug trial physics",
    "analytics": "report metric chart statistic analytic dashboard log monitor usage insight trend",
    "automation": "workflow flow automation function trigger task queue worker rule studio",
}
DOMAINS = tuple(_WORDS)
_STEMS = {word: domain for domain, words in _WORDS.items() for word in words.split()}
_NAME_WEIGHT = 3
_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z]+")


def classify_tool(name: str, description: str, default: str) -> str:
    """The domain whose words it uses most, its name's counting threefold; else the server's."""
    votes = Counter({default: _NAME_WEIGHT - 1})
    for text, weight in ((name, _NAME_WEIGHT), (description[:400], 1)):
        for word in _BREAK.split(text):
            if domain := _domain_of(word.lower()):
                votes[domain] += weight
    return max(votes, key=lambda domain: (votes[domain], domain == default, domain))


@cache
def _domain_of(word: str) -> str | None:
    """Of the longest stem that the word begins with, if any."""
    starts = (word[:length] for length in range(len(word), 1, -1))
    return next((_STEMS[start] for start in starts if start in _STEMS), None)
