"""Words for the 43 German traffic signs of GTSDB, whose class names say little by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

GERMAN_SIGNS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "speed limit 20": ("speed limit 20", "round white sign with a red rim and the number 20"),
        "speed limit 30": ("speed limit 30", "round white sign with a red rim and the number 30"),
        "speed limit 50": ("speed limit 50", "round white sign with a red rim and the number 50"),
        "speed limit 60": ("speed limit 60", "round white sign with a red rim and the number 60"),
        "speed limit 70": ("speed limit 70", "round white sign with a red rim and the number 70"),
        "speed limit 80": ("speed limit 80", "round white sign with a red rim and the number 80"),
        "restriction ends 80": (
            "end of speed limit 80",
            "round white sign with a grey number 80 that is crossed out",
        ),
        "speed limit 100": (
            "speed limit 100",
            "round white sign with a red rim and the number 100",
        ),
        "speed limit 120": (
            "speed limit 120",
            "round white sign with a red rim and the number 120",
        ),
        "no overtaking": ("no overtaking", "round sign with a red and a black car side by side"),
        "no overtaking (trucks)": (
            "no overtaking for trucks",
            "round sign with a red truck and a black car side by side",
        ),
        "priority at next intersection": (
            "priority at the next intersection",
            "red triangle sign with a thick black arrow and a crossing line",
        ),
        "priority road": ("priority road", "yellow diamond sign with a white rim"),
        "give way": ("give way", "white triangle sign with a red rim that points down"),
        "stop": ("stop", "red octagon sign with the word stop"),
        "no traffic both ways": ("no vehicles", "empty round white sign with a red rim"),
        "no trucks": ("no trucks", "round white sign with a red rim and a black truck"),
        "no entry": ("no entry", "round red sign with a white bar"),
        "danger": ("general danger warning", "red triangle sign with an exclamation mark"),
        "bend left": ("dangerous bend to the left", "red triangle sign with an arrow to the left"),
        "bend right": (
            "dangerous bend to the right",
            "red triangle sign with an arrow to the right",
        ),
        "bend": ("double bend", "red triangle sign with a winding arrow"),
        "uneven road": ("uneven road", "red triangle sign with two bumps"),
        "slippery road": ("slippery road", "red triangle sign with a skidding car"),
        "road narrows": ("road narrows", "red triangle sign with two lines that come closer"),
        "construction": ("roadworks", "red triangle sign with a man digging"),
        "traffic signal": ("traffic lights ahead", "red triangle sign with a traffic light"),
        "pedestrian crossing": (
            "pedestrian crossing",
            "red triangle sign with a person on a zebra crossing",
        ),
        "school crossing": ("children crossing", "red triangle sign with two children"),
        "cycles crossing": ("bicycles crossing", "red triangle sign with a bicycle"),
        "snow": ("snow or ice", "red triangle sign with a snowflake"),
        "animals": ("wild animals crossing", "red triangle sign with a jumping deer"),
        "restriction ends": (
            "end of all restrictions",
            "round white sign that is crossed out in grey",
        ),
        "go right": ("turn right ahead", "round blue sign with a white arrow to the right"),
        "go left": ("turn left ahead", "round blue sign with a white arrow to the left"),
        "go straight": ("ahead only", "round blue sign with a white arrow straight up"),
        "go right or straight": (
            "straight ahead or right",
            "round blue sign with white arrows up and to the right",
        ),
        "go left or straight": (
            "straight ahead or left",
            "round blue sign with white arrows up and to the left",
        ),
        "keep right": ("keep right", "round blue sign with a white arrow down to the right"),
        "keep left": ("keep left", "round blue sign with a white arrow down to the left"),
        "roundabout": ("roundabout", "round blue sign with three white arrows in a circle"),
        "restriction ends (overtaking)": (
            "end of no overtaking",
            "round white sign with two grey cars that is crossed out",
        ),
        "restriction ends (overtaking (trucks))": (
            "end of no overtaking for trucks",
            "round white sign with a grey truck and car that is crossed out",
        ),
    }
)
"""Class name -> what the sign is called, and what it looks like."""
