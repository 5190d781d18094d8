"""title_spider.py CONCURRENCY URLS RECORDS: fetches the URLs with Scrapy and writes a JSON line with its title for each page.

Prints "WALL_S CPU_S", from the opening of the spider to its closing: the start of Python and what it imports are left out.
"""

import json
import resource
import sys
import time

import scrapy
from scrapy import signals
from scrapy.crawler import CrawlerProcess

# Everything off that a list of URLs has no use for. The middlewares would pass each request and response on as it is.
SETTINGS = {
    "AUTOTHROTTLE_ENABLED": False,
    "COOKIES_ENABLED": False,
    "DOWNLOAD_DELAY": 0,
    "LOG_ENABLED": False,
    "MEMUSAGE_ENABLED": False,
    "REDIRECT_ENABLED": False,
    "REFERER_ENABLED": False,
    "REQUEST_FINGERPRINTER_IMPLEMENTATION": "2.7",
    "RETRY_ENABLED": False,
    "ROBOTSTXT_OBEY": False,
    "TELNETCONSOLE_ENABLED": False,
    "SPIDER_MIDDLEWARES_BASE": {},
    "EXTENSIONS": {
        "scrapy.extensions.corestats.CoreStats": None,
        "scrapy.extensions.logstats.LogStats": None,
    },
}


def seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.monotonic(), usage.ru_utime + usage.ru_stime


class TitleSpider(scrapy.Spider):
    name = "titles"

    def __init__(self, urls, records):
        super().__init__()
        self.urls, self.records = urls, records

    def start_requests(self):
        with open(self.urls, encoding="ascii") as urls:
            for url in urls:
                yield scrapy.Request(url.rstrip("\n"), dont_filter=True)

    def parse(self, response):
        record = {"url": response.url, "title": response.css("title::text").get()}
        self.records.write(json.dumps(record) + "\n")


def main(concurrency, urls, path):
    times = []
    process = CrawlerProcess(
        {
            **SETTINGS,
            "CONCURRENT_REQUESTS": int(concurrency),
            "CONCURRENT_REQUESTS_PER_DOMAIN": int(concurrency),
        }
    )
    crawler = process.create_crawler(TitleSpider)
    for moment in (signals.spider_opened, signals.spider_closed):
        crawler.signals.connect(lambda: times.append(seconds()), signal=moment, weak=False)
    with open(path, "w", encoding="ascii") as records:
        process.crawl(crawler, urls=urls, records=records)
        process.start()
    (start, cpu_start), (end, cpu_end) = times
    print(f"{end - start:.3f} {cpu_end - cpu_start:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
