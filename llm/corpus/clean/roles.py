"""What part of a page an element says it is: by its tag, ARIA role, class and id.

Sites choose class names freely, but from a small vocabulary that comes from a few systems
(WordPress, Drupal, Bootstrap, BEM) and from English. A word counts where it stands alone between
separators or capitals: `share-bar`, `shareBar`, not `shareholder`. Names are hints; what weighs
against them is the scorer's business.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from enum import IntFlag


class Role(IntFlag):
    """Parts of a page; an element may be several."""

    NONE = 0
    NAVIGATION = 1  # menus, breadcrumbs, pagination, tables of contents, tabs of other pages
    HEADER = 2  # of the page: logo, banner
    FOOTER = 4
    ASIDE = 8  # side columns
    HIDDEN = 16  # not shown, by attribute or style
    OVERLAY = 32  # cookie banners, dialogs, log-in walls
    COMMENTS = 64  # what readers wrote
    RELATED = 128  # other pages' teasers
    SHARE = 256  # sharing, printing, following
    PROMOTION = 512  # advertisements, newsletters, donations
    BYLINE = 1024  # author, date, tags, biography of the author
    CAPTION = 2048  # of a picture
    FORM = 4096  # fields, buttons
    POST = 8192  # a contribution to a thread
    BODY = 16384  # what the page names its text
    NOTE = 32768  # an admonition: text, though beside it
    GUTTER = 65536  # line numbers beside a listing
    MAIN = 131072  # <main>
    TEASER = 262144  # lists of other pages, which are an index page's very content
    PITCH = 524288  # what a site says in its own favour


_TAGS = {
    "nav": Role.NAVIGATION,
    "header": Role.HEADER,
    "footer": Role.FOOTER,
    "aside": Role.ASIDE,
    "dialog": Role.OVERLAY,
    "figcaption": Role.CAPTION,
    "button": Role.FORM,
    "label": Role.FORM,
    "legend": Role.FORM,
    "select": Role.FORM,
    "template": Role.HIDDEN,
    "main": Role.MAIN,
}
_ARIA = {
    "navigation": Role.NAVIGATION,
    "menu": Role.NAVIGATION,
    "menubar": Role.NAVIGATION,
    "tablist": Role.NAVIGATION,
    "toolbar": Role.NAVIGATION,
    "banner": Role.HEADER,
    "contentinfo": Role.FOOTER,
    "complementary": Role.ASIDE,
    "search": Role.FORM,
    "button": Role.FORM,
    "dialog": Role.OVERLAY,
    "alertdialog": Role.OVERLAY,
    "tooltip": Role.OVERLAY,
    "main": Role.MAIN,
}

# Words between single hyphens, in lower case.
_WORDS = {
    Role.NAVIGATION: "anchorjs-link breadcrumb breadcrumbs catlinks crumb crumbs editsection "
    "facet facets filter filters headerlink jump-links menu menus "
    "mw-editsection mw-jump-link nav navbar navbox navigation next-prev pager "
    "pagination paginator paging prev-next printfooter sidebar-nav site-links "
    "sitemap skip-link skip-links sort-by sorting submenu table-of-contents toc "
    "toctree vertical-navbox",
    Role.HEADER: "app-header global-header header-top header-wrapper main-header masthead "
    "navbar-header page-banner site-branding site-header siteheader top-bar "
    "topbar",
    Role.FOOTER: "bottom-bar colophon copyright disclaimer footer footnav global-footer "
    "legal page-footer site-footer site-info siteinfo",
    Role.ASIDE: "aside colright complementary infobox-nav left-rail rail rhs right-col "
    "right-column right-rail right-side rightcol rightcolumn rightside "
    "secondary side-bar side-column side-nav sidebar sidebars sidecol sidenav "
    "widget widget-area widgets",
    Role.OVERLAY: "browsehappy ccpa consent cookie cookies dialog drawer flyout gdpr "
    "interstitial lightbox log-in login modal modals off-canvas offcanvas "
    "outdated-browser pop-up popup register registration regwall "
    "sign-in sign-up signin signup snackbar toast tooltip",
    Role.COMMENTS: "comment comment-list commentlist comments comments-area coral discussion "
    "discussions disqus disqus-thread fb-comments feedback guestbook livefyre "
    "replies respond review reviews talkback",
    Role.RELATED: "also-bought also-like also-viewed bundle cross-sell cross-sells crosssell "
    "explore-more frequently-bought jp-relatedposts more-from more-stories "
    "morefrom next-up onward outbrain read-also read-next "
    "readnext recently-viewed recirc recirculation recommend recommendation "
    "recommendations recommended related related-content see-also similar "
    "suggested suggestions taboola up-next upsell upsells whats-next yarpp "
    "you-may-like zergnet",
    Role.HIDDEN: "katex-html math-jax-preview mathjax-preview noscript print-only "
    "screen-reader-text sr-only visually-hidden visuallyhidden",
    Role.SHARE: "action actions addthis addtoany bookmark button buttons email-this follow "
    "follow-us like-button likes permalink pinterest post-actions print share "
    "share-buttons shareaholic sharedaddy shares sharethis sharing social "
    "social-links social-media socials toolbar tools tweet-this whatsapp",
    Role.PROMOTION: "ad ad-slot ads adsbygoogle adsense adslot advert advertisement advertising "
    "advertorial affiliate callout-promo commercial dfp donate donation "
    "doubleclick gpt-ad inline-promo mailchimp mailing-list mc-embed-signup "
    "newsletter newsletters opt-in optin sponsor sponsored sponsors subscribe",
    Role.BYLINE: "about-author article-info article-meta author author-bio authors avatar "
    "bio byline cat-links categories contributor contributors credit credits "
    "date dateline edit-info entry-date entry-footer entry-meta eyebrow "
    "keywords kicker labels message-attribution message-cell-user "
    "message-userDetails meta metadata nickname post-categories post-date "
    "post-footer post-info post-meta post-signature post-tags poster postauthor "
    "posted-on postprofile pubdate publish-date published read-time "
    "reading-time signature tag-links tag-list tagcloud taglist tags tagline timestamp "
    "topics user-card user-info usercard userinfo",
    Role.CAPTION: "caption captions copyright-image credit figcaption gallery image-caption "
    "image-credit img-caption media-caption photo photo-caption photo-credit "
    "slideshow thumbcaption wp-caption-text",
    Role.TEASER: "carousel featured featured-posts latest more-articles most-read "
    "most-viewed mostread popular promoted recent recent-posts slider teaser "
    "teasers trending",
    Role.PITCH: "banner call-to-action cta marketing membership promo promos promotion "
    "subscription subscriptions testimonial testimonials",
    Role.NOTE: "admonition alert callout caution danger hint important info-box note "
    "notecard notice theme-admonition tip topic-box warning",
    Role.GUTTER: "blob-num code-line-number gutter hljs-ln-n hljs-ln-numbers line-number "
    "line-numbers line-numbers-rows lineno linenodiv linenos linenumber "
    "linenumbers ln lnt rouge-gutter syntaxhighlighter-gutter",
}  # fmt: skip
_POST_WORDS = (
    "answer answer-content bbp-reply bbp-topic comment comment-body comment-content cooked "
    "comment-text commtext crawler-post forum-post lia-message message message-body "
    "message-body-content message-content message-text messagetext post "
    "post-message postbit postbitlegacy postbody postcontainer question reply reply-content "
    "topic-body topic-post user-content usertext-body"
)
_POSTS = frozenset(_POST_WORDS.split())
_BODY = (
    "(?:main-)?(?:article|story|post|entry|content|blog|news|page|text|rich-text|node)-?"
    "(?:body|content|text|copy|article|main)(?:-\\w+)?|articlebody|storybody|story|body-copy"
    "|entry|post-full-content|available-content|body-markup|prose|markdown-body|rst-content|mw-parser-output"
    "|article"
)
_TEXT = re.compile(f"-(?:{_BODY})-")
_WORD = re.compile(r"[a-z0-9]+")
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NOT_SHOWN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_FOLDS = re.compile(
    r"(?<![a-z])(?:tab|tabs|panel|accordion|collapse|collapsible|toggle|faq|expand|expandable)"
    r"(?![a-z])",
    re.IGNORECASE,
)
# Sections as docutils, Pandoc and others write them, with their headings as ids.
_SECTION = re.compile(r"(?:section|sect\d|level\d)(?:\s|$)")
_STREAMED = re.compile(r"S:[0-9a-f]+", re.IGNORECASE)


def _vocabulary() -> dict[str, int]:
    found: dict[str, int] = {}
    for part, words in _WORDS.items():
        for word in words.split():
            found[word] = found.get(word, 0) | int(part)
    return found


def _longest(phrases: Iterable[str], place: int) -> dict[str, int]:
    """For the first (0) or last (-1) word of each phrase, how many words the longest has."""
    found: dict[str, int] = {}
    for phrase in phrases:
        words = phrase.split("-")
        found[words[place]] = max(found.get(words[place], 0), len(words))
    return found


_MEANING = _vocabulary()
_BODY_WORDS = (
    "article articlebody available blog body content entry main markdown mw news node page post "
    "prose rich rst story storybody text"
)
_BEGINNINGS, _ENDS = _longest(_MEANING, 0), _longest(_POSTS, -1)

_LONGEST = 300
# Names that say something as long as nothing stands beside them.
_ALONE = {"side": int(Role.ASIDE), "foot": int(Role.FOOTER)}
# A name without any of these says nothing.
_TELLING = frozenset((*_ALONE, *_BEGINNINGS, *_ENDS, *_BODY_WORDS.split()))


def role_of_name(names: str) -> int:
    """What a class attribute or id says (bits of `Role`), in its first characters: names are
    remembered."""
    return _role_of_names(names[:_LONGEST])


@functools.lru_cache(maxsize=1 << 16)
def _role_of_names(names: str) -> int:
    found = 0
    for name in names.split()[:12]:
        found |= _role_of_word(name)
    return found


@functools.lru_cache(maxsize=1 << 16)
def _role_of_word(name: str) -> int:
    words = (
        _WORD.findall(name) if name.islower() else _WORD.findall(_CAPITAL.sub("-", name).lower())
    )
    if _TELLING.isdisjoint(words):
        return 0
    found = _ALONE.get(name, 0)
    for start, word in enumerate(words):
        for count in range(1, _BEGINNINGS.get(word, 0) + 1):
            found |= _MEANING.get("-".join(words[start : start + count]), 0)
    while len(words) > 1 and words[-1].isdigit():
        words.pop()
    # The last word of a compound says what a thing is: a reply's author is no reply.
    longest = _ENDS.get(words[-1], 0)
    if any("-".join(words[-count:]) in _POSTS for count in range(1, longest + 1)):
        found |= Role.POST
    if _TEXT.match(f"-{'-'.join(words)}-"):
        found |= Role.BODY
    return int(found)


def _folded(attributes: Mapping[str, str]) -> bool:
    """Whether something not shown at first is a part that the reader unfolds: a tab, an answer."""
    names = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"
    return attributes.get("role") == "tabpanel" or _FOLDS.search(names) is not None


_OF_TEXT = frozenset(
    (
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "p",
        "li",
        "dt",
        "dd",
        "tr",
        "td",
        "th",
        "a",
        "span",
        "code",
    )
)
_OTHERS = frozenset(("role", "hidden", "aria-hidden", "style", "itemprop", "itemtype"))
TAG_ROLES = {tag: int(part) for tag, part in _TAGS.items()}
_ARIA_ROLES = {name: int(part) for name, part in _ARIA.items()}
_HIDDEN, _IS_BODY, _IS_POST = int(Role.HIDDEN), int(Role.BODY), int(Role.POST)
# Of schema.org.
_POST_TYPES = frozenset(("Comment", "UserComments", "Answer", "Question", "DiscussionForumPosting"))


def role(tag: str, attributes: Mapping[str, str], by_id: bool = True) -> int:
    """All roles of an element (bits of `Role`).

    Args:
        by_id: go by its id as well. What leads to a heading is named as the heading reads, which
            says nothing of its part in the page.
    """
    found: int = TAG_ROLES.get(tag, 0)
    if "-" in tag:  # an element of the site's own, named as its classes are
        found |= role_of_name(tag)
    if not attributes:
        return found
    get = attributes.get
    if name := get("class"):
        found |= role_of_name(name)
    if (
        by_id
        and tag not in _OF_TEXT
        and (identity := get("id"))
        and not (_SECTION.match(name) if name else tag == "section")
    ):
        found |= role_of_name(identity)
    if _OTHERS.isdisjoint(attributes):
        return found
    if aria := get("role"):
        found |= _ARIA_ROLES.get(aria.strip().lower(), 0)
    hidden = get("hidden")
    if (
        # React streams parts of a page into hidden divisions and moves them to their places.
        (
            hidden is not None
            and hidden != "until-found"
            and not _STREAMED.fullmatch(get("id") or "")
        )
        or get("aria-hidden") == "true"
        or ((style := get("style")) and _NOT_SHOWN.search(style))
    ) and not _folded(attributes):
        found |= _HIDDEN
    if (item := get("itemprop")) and item in ("articleBody", "text", "reviewBody"):
        found |= _IS_BODY
    if (kind := get("itemtype")) and kind.rpartition("/")[2] in _POST_TYPES:
        found |= _IS_POST
    return found
