"""What part of a page an element says it is: by its tag, ARIA role, class and id.

Sites choose class names freely, but from a small vocabulary that comes from a few systems
(WordPress, Drupal, Bootstrap, BEM) and from English. A word counts where it stands alone between
separators or capitals: `share-bar`, `shareBar`, not `shareholder`. Names are hints; what weighs
against them is the scorer's business.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
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
    Role.NAVIGATION: "nav|navbar|navigation|menu|menus|submenu|breadcrumb|breadcrumbs|crumb|crumbs|pagination|pager"
    "|paginator|paging|toc|toctree|table-of-contents|skip-link|skip-links|site-links|jump-links"
    "|prev-next|next-prev|sitemap|headerlink|anchorjs-link|mw-editsection|editsection|mw-jump-link"
    "|printfooter|catlinks|navbox|vertical-navbox|sidebar-nav|facet|facets|filter|filters|sort-by|sorting",
    Role.HEADER: "masthead|site-header|page-banner|topbar|top-bar|global-header|site-branding"
    "|header-wrapper|main-header|siteheader|app-header|navbar-header|header-top",
    Role.FOOTER: "footer|site-footer|page-footer|colophon|copyright|legal|disclaimer|footnav|siteinfo"
    "|bottom-bar|foot|site-info|global-footer",
    Role.ASIDE: "sidebar|side-bar|sidebars|widget|widgets|widget-area|rail|right-rail|left-rail|right-col"
    "|side-column|right-column|sidecol|secondary|complementary|aside|infobox-nav|colright"
    "|sidenav|side-nav|rightcol|rightcolumn|rhs|right-side|rightside",
    Role.OVERLAY: "cookie|cookies|gdpr|consent|ccpa|modal|modals|popup|pop-up|overlay|lightbox|interstitial"
    "|login|signin|sign-in|log-in|signup|sign-up|registration|register|regwall|toast|snackbar"
    "|tooltip|dialog|offcanvas|off-canvas|drawer|outdated-browser|browsehappy|flyout",
    Role.COMMENTS: "comment|comments|commentlist|comment-list|comments-area|disqus|disqus-thread|discussion|discussions"
    "|respond|review|reviews|fb-comments|livefyre|coral|feedback|replies|talkback|guestbook",
    Role.RELATED: "related|recommend|recommended|recommendation|recommendations|more-stories|more-from|read-more|readmore|also-like"
    "|read-next|see-also|up-next|next-up"
    "|you-may-like|outbrain|taboola|zergnet|suggested|suggestions|similar"
    "|upsell|upsells|cross-sell|cross-sells|crosssell|upsell|also-bought|readnext|morefrom|explore-more"
    "|whats-next|read-also|recirc|recirculation|jp-relatedposts|yarpp"
    "|recently-viewed|also-viewed|frequently-bought|related-content|bundle|onward",
    Role.SHARE: "share|shares|sharing|sharedaddy|social|socials|social-media|addthis|addtoany|sharethis"
    "|share-buttons|follow|follow-us|like-button|likes|tweet-this|pinterest|whatsapp|print|email-this"
    "|permalink|bookmark|tools|toolbar|action|actions|post-actions|button|buttons|social-links|shareaholic",
    Role.PROMOTION: "ad|ads|advert|advertisement|advertising|advertorial|adsense|adslot|ad-slot|sponsor"
    "|sponsors|sponsored|newsletter|newsletters|subscribe"
    "|donate|donation|dfp|doubleclick|mailing-list|optin|opt-in|mc-embed-signup"
    "|adsbygoogle|gpt-ad|affiliate|inline-promo|callout-promo|mailchimp|commercial",
    Role.BYLINE: "byline|author|authors|author-bio|about-author|bio|post-meta|entry-meta|meta|metadata"
    "|article-meta|post-info|post-date|posted-on|published|publish-date|pubdate|timestamp|dateline|date"
    "|entry-date|tags|tag-list|taglist|tag-links|tagcloud|post-tags|categories|cat-links|post-categories"
    "|kicker|eyebrow|reading-time|read-time|credit|credits|article-info|post-footer|entry-footer|labels"
    "|keywords|topics|contributor|contributors|user-info|userinfo|usercard|user-card|postprofile|signature|avatar"
    "|postauthor|message-user|message-userDetails|message-attribution|post-signature|nickname|edit-info",
    Role.CAPTION: "caption|captions|wp-caption-text|image-caption|photo-caption|img-caption|photo-credit"
    "|image-credit|gallery|slideshow|media-caption|thumbcaption|figcaption|photo|copyright-image|credit",
    Role.POST: "post|posts|message|postbody|topic-post|topic-body|comment|reply|answer|bbp-reply|bbp-topic|postcontainer"
    "|postbit|postbitlegacy|forum-post|crawler-post|question|cooked|js-post|message-body|messagetext|lia-message",
    Role.TEASER: "popular|trending|most-read|mostread|most-viewed|latest|recent|recent-posts|teaser|teasers|carousel|promoted|featured-posts|more-articles|slider|featured",
    Role.PITCH: "promo|promos|promotion|banner|marketing|cta|call-to-action|membership|subscription|subscriptions|testimonial|testimonials",
    Role.NOTE: "admonition|note|notice|warning|tip|important|caution|callout|hint|info-box|alert|danger"
    "|theme-admonition|notecard|topic-box|pullquote-none",
    Role.GUTTER: "linenos|linenodiv|lineno|line-numbers-rows|gutter|line-number|line-numbers|blob-num|linenumber"
    "|linenumbers|hljs-ln-numbers|lnt|ln|code-line-number|rouge-gutter|hljs-ln-n|syntaxhighlighter-gutter",
}  # fmt: skip
_BODY = (
    "(?:main-)?(?:article|story|post|entry|content|blog|news|page|text|rich-text|node)-?"
    "(?:body|content|text|copy|article|main)(?:-\\w+)?|articlebody|storybody|story|body-copy"
    "|entry|post-full-content|available-content|body-markup|prose|markdown-body|rst-content|mw-parser-output"
    "|article"
)
_TEXT = re.compile(f"-(?:{_BODY})-")
_SPLIT = re.compile(r"[^a-zA-Z0-9]+")
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NOT_SHOWN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_STREAMED = re.compile(r"S:[0-9a-f]+", re.IGNORECASE)


def _vocabulary() -> dict[str, int]:
    found: dict[str, int] = {}
    for part, words in _WORDS.items():
        for word in words.split("|"):
            found[word] = found.get(word, 0) | int(part)
    return found


_MEANING = _vocabulary()
_LONGEST = max(word.count("-") for word in _MEANING) + 1


@functools.lru_cache(maxsize=1 << 15)
def role_of_name(name: str) -> int:
    """What a class attribute or id says (bits of `Role`)."""
    found = 0
    for one in name.split()[:12]:
        words = [word for word in _SPLIT.split(_CAPITAL.sub("-", one).lower()) if word]
        for start in range(len(words)):
            phrase = ""
            for word in words[start : start + _LONGEST]:
                phrase = f"{phrase}-{word}" if phrase else word
                found |= _MEANING.get(phrase, 0)
        if _TEXT.match(f"-{'-'.join(words)}-"):
            found |= Role.BODY
    return int(found)


_TAG_BITS = {tag: int(part) for tag, part in _TAGS.items()}
_ARIA_BITS = {name: int(part) for name, part in _ARIA.items()}
_HIDDEN, _IS_BODY = int(Role.HIDDEN), int(Role.BODY)


def role(tag: str, attributes: Mapping[str, str]) -> int:
    """All roles of an element (bits of `Role`)."""
    found: int = _TAG_BITS.get(tag, 0)
    if not attributes:
        return found
    get = attributes.get
    if name := get("class"):
        found |= role_of_name(name)
    if name := get("id"):
        found |= role_of_name(name)
    if aria := get("role"):
        found |= _ARIA_BITS.get(aria.strip().lower(), 0)
    if (hidden := get("hidden")) is not None and not (
        # React streams parts of a page into hidden divisions and moves them to their places.
        hidden.lower() == "until-found" or _STREAMED.fullmatch(get("id") or "")
    ):
        found |= _HIDDEN
    if get("aria-hidden") == "true":
        found |= _HIDDEN
    if (style := get("style")) and _NOT_SHOWN.search(style):
        found |= _HIDDEN
    if (item := get("itemprop")) and item in ("articleBody", "text", "reviewBody"):
        found |= _IS_BODY
    return found
