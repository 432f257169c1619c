#!/usr/bin/python3
"""Prints a table of visits to a shop that never was, for wide_and_deep: make_visits.py [ROWS [SEED]] > visits.csv

Whether a visitor buys (the last column) depends on numbers (minutes, price), on categories (device, weekday), and on
pairs of city and product: umbrellas sell where it rains. The pairs are what the wide part has to remember.
"""

import math
import random
import sys

CITIES = ["Bergen", "Porto", "Lyon", "Graz", "Turku", "Ghent", "Malaga", "Cork", "Split", "Riga"]
PRODUCTS = ["umbrella", "sunglasses", "boots", "book", "lamp"]
DEVICES = {"phone": -0.5, "tablet": 0.0, "computer": 0.7}
WEEKDAYS = {"Mon": 0.0, "Tue": 0.0, "Wed": 0.1, "Thu": 0.1, "Fri": 0.3, "Sat": 0.6, "Sun": 0.5}
RAINY = {"Bergen", "Ghent", "Cork", "Riga"}


def main():
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    print("city,device,product,weekday,minutes,price,bought")
    for _ in range(rows):
        city, product = rng.choice(CITIES), rng.choice(PRODUCTS)
        device, weekday = rng.choice(list(DEVICES)), rng.choice(list(WEEKDAYS))
        minutes, price = rng.random(), rng.random()
        fits = {"umbrella": 3.0 if city in RAINY else -3.0, "sunglasses": -3.0 if city in RAINY else 3.0}.get(product, 0)
        score = fits + DEVICES[device] + WEEKDAYS[weekday] + 3.0 * minutes - 3.0 * price - 0.3
        bought = int(rng.random() < 1 / (1 + math.exp(-score)))
        print(f"{city},{device},{product},{weekday},{minutes:.3f},{price:.3f},{bought}")


if __name__ == "__main__":
    main()
