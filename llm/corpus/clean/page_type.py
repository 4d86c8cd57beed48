"""What kind of page a page is, and by what sign.

In this order: the system that made it, what it says of itself in JSON-LD, its address, Open Graph.
Whoever writes JSON-LD does it for search engines, which check it; Open Graph's `article` is the
default of many systems for whatever they publish, and comes last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from llm.corpus.clean.head import Head
from llm.corpus.clean.markup_events import MarkupEvents

ARTICLE, FORUM, PRODUCT = "article", "forum", "product"
LISTING, COLLECTION, DOCUMENTATION = "listing", "collection", "documentation"
SERVICE, OTHER = "service", "other"


class PageType(NamedTuple):
    """A kind of page.

    Attributes:
        kind: "article", "forum", "product", "listing" (of articles), "collection" (of products),
            "documentation", "service" or "other".
        sign: what tells, e.g. "json-ld: Product"; empty for "other".
    """

    kind: str
    sign: str


_SCHEMA = {
    FORUM: "DiscussionForumPosting QAPage",
    PRODUCT: "Product ProductGroup IndividualProduct ProductModel Vehicle Car",
    DOCUMENTATION: "TechArticle APIReference",
    ARTICLE: "Article NewsArticle BlogPosting ReportageNewsArticle OpinionNewsArticle "
    "AnalysisNewsArticle BackgroundNewsArticle ReviewNewsArticle LiveBlogPosting Recipe "
    "ScholarlyArticle MedicalScholarlyArticle AdvertiserContentArticle SatiricalArticle Report "
    "SocialMediaPosting",
    LISTING: "CollectionPage SearchResultsPage Blog",
    COLLECTION: "OfferCatalog",
    SERVICE: "Service ProfessionalService",
}
_KIND_OF = {name: kind for kind, names in _SCHEMA.items() for name in names.split()}

# Classes and ids of <html> and <body>, and words of <meta name="generator">.
_NAMES = {
    FORUM: "phpbb vbulletin xf xenforo discourse-no-touch single-topic bbpress-topic ipsapp "
    "question-page flarum-content smf",
    PRODUCT: "single-product template-product catalog-product-view product-page product-template",
    COLLECTION: "template-collection catalog-category-view tax-product_cat "
    "catalogsearch-result-index post-type-archive-product woocommerce-shop collection-template",
    LISTING: "archive category search-results blog tag post-type-archive",
    DOCUMENTATION: "wy-body-for-nav docs-wrapper docs-doc-page mkdocs",
    ARTICLE: "single-post",
}
_KIND_OF_NAME = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_GENERATORS = re.compile(
    "(?P<forum>discourse|phpbb|vbulletin|xenforo|mybb|smf|flarum|nodebb|vanilla|invision)"
    "|(?P<documentation>mediawiki|sphinx|mkdocs|docusaurus|mdbook|doxygen|javadoc|gitbook|vitepress|antora"
    "|rustdoc|pdoc|starlight|docfx|nextra|asciidoctor|jsdoc|typedoc|docsify|mintlify)",
    re.IGNORECASE,
)
_HOSTS = re.compile(
    r"(?P<forum>(?:^|\.)(?:forums?|community|discuss|boards?|talk|answers|bbs)\.)"
    r"|(?P<documentation>(?:^|\.)(?:docs?|developers?|api|manual|wiki|documentation)\."
    r"|\.readthedocs\.)"
)
# Of the path and query, in lower case, with a slash at the end of the path.
_PATHS = (
    (FORUM, re.compile(
        r"/(?:viewtopic|showthread|showpost)|/thread-\d|/(?:issues|pull|discussion)/\d|/(?:forums?|boards?|bbs)/[^?]*\d|/threads?/[^/?]+"
        r"|/(?:topics?|questions?|discussions?)/\d|/t/[^/]+/\d|/r/\w+/comments/|/item/?\?id=\d"
        r"|[?&](?:topic|tid|threadid|showtopic)=\d")),
    (PRODUCT, re.compile(
        r"/(?:products?|dp|gp/product|itm|item|ip|pd)/[^/?]+|/p/[^/?]*\d")),
    (COLLECTION, re.compile(
        r"/(?:collections?|product-category|product_cat|shop|store|catalog|catalogue)/(?:[^/?]+/)*(?:$|\?)"
        r"|/(?:c|b|browse)/[^?]*(?:$|\?)")),
    (DOCUMENTATION, re.compile(
        r"/(?:docs?|documentation|reference|api|manual|handbook|apidocs?|javadoc|man\d?)/|/wiki/")),
    (LISTING, re.compile(
        r"/(?:category|categories|tags?|topics?|archives?|authors?|search|sections?)/[^?]*(?:$|\?)"
        r"|/(?:blog|news|articles|posts|stories|press|press-releases|events|resources)/(?:$|\?|page/)"
        r"|/page/\d+/|[?&](?:s|q|query|search)=")),
    (SERVICE, re.compile(
        r"/(?:services?|solutions?|pricing|features?|about|about-us|contact|contact-us|platform|industries|"
        r"company|careers|what-we-do|use-cases?)/")),
    # By its date, or below the news by its title.
    (ARTICLE, re.compile(
        r"/(?:19|20)\d\d/(?:0?[1-9]|1[0-2])/[^?]*[a-z]"
        r"|/(?:news|blogs?|articles?|story|stories|posts?|press|magazine|opinion|journal|entry)/"
        r"(?:[^/?]*/)*[^/?-]+-[^/?-]+-[^/?-]+-[^/?]+/")),
)  # fmt: skip
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
# Of one kind of thing in JSON-LD, more than the page can be about.
_SEVERAL = 3


def page_type(head: Head, page: MarkupEvents, url: str | None) -> PageType:
    """The kind of a page by what it says of itself, by its address, or by its headings."""
    generator = head.properties.get("generator", "")
    if (made := _GENERATORS.search(generator)) and made.lastgroup:
        return PageType(made.lastgroup, f"generator: {made[0].lower()}")
    for name, count in head.types.items():
        kind = _KIND_OF.get(name)
        if kind == PRODUCT and count >= _SEVERAL:
            kind = COLLECTION
        if kind == ARTICLE and count >= _SEVERAL:
            kind = LISTING
        if kind:
            return PageType(kind, f"json-ld: {name}")
    opened = head.properties.get("og:type", "").lower()
    single = opened == "article" or not head.names.isdisjoint(("single", "single-post"))
    for name in sorted(head.names):
        kind = _KIND_OF_NAME.get(name)
        if kind and not (kind == LISTING and single):
            return PageType(kind, f"name: {name}")
    for thing in _things(page):
        kind = _KIND_OF.get(thing)
        if kind and not (kind == PRODUCT and opened == "article"):  # a newspaper's subscription
            return PageType(kind, f"microdata: {thing}")
    if opened.startswith(("product", "og:product")):
        return PageType(PRODUCT, f"og:type: {opened}")
    if found := _by_address(url or head.canonical_url or ""):
        return found
    named = sum(
        tag == "code" and page.tags[page.parents[number]] in _HEADINGS
        for number, tag in enumerate(page.tags)
    )
    if named >= _SEVERAL:
        return PageType(DOCUMENTATION, "code in headings")
    if opened == "article" or "article:published_time" in head.properties:
        return PageType(ARTICLE, "og:type: article")
    return PageType(OTHER, "")


def _things(page: MarkupEvents) -> Iterator[str]:
    """Kinds of things that microdata (HTML, section 5) says the page has one of, in order."""
    counts: dict[str, int] = {}
    for attributes in page.attributes:
        if attributes and (kind := attributes.get("itemtype")):
            name = kind.rpartition("/")[2]
            counts[name] = counts.get(name, 0) + 1
    for name, count in counts.items():
        # Themes call any part of a page a blog, or an article.
        if _KIND_OF.get(name) == FORUM or (_KIND_OF.get(name) == PRODUCT and count == 1):
            yield name


def _by_address(url: str) -> PageType | None:
    try:
        parts = urlsplit(url.lower())
    except ValueError:  # what a page calls its address
        return None
    path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
    asked = f"{path}?{parts.query}" if parts.query else path
    for kind, pattern in _PATHS:
        if (match := pattern.search(asked[:500])) is not None:
            return PageType(kind, f"address: {match[0]}")
    if (host := _HOSTS.search(parts.netloc)) and host.lastgroup:
        return PageType(host.lastgroup, f"address: {host[0].strip('.')}")
    return None
